"""Running untrusted programs under limits."""
