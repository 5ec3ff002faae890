"""The implementation of `import bench`, which the command line calls too."""
