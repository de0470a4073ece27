"""The explorer: a run as view data, the page that shows it, its server, and the report."""
