"""The population in git (ledger, lineage) and who breeds."""
