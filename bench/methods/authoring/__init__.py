"""What helps whoever adds a method: a file to begin with, and the promises it must keep."""
