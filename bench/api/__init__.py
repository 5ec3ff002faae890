"""Implementation of `import bench`, shared with the command line."""
