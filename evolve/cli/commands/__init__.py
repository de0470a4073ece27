"""The commands, by the headings of the help: what each takes. Its body is imported when it is called."""
