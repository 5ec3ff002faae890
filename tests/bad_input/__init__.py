"""What people and the internet hand to bench, and what it must say: a table, in a few files."""
