"""What was found, as one page for people: a single file that opens anywhere and asks no network."""
