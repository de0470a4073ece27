"""Problems to start from, one folder each; data, not code to import."""
