"""Published tables and the conditions under which they were measured."""
