"""What a dataset says about itself to catalogues and people: Croissant, and a card in Markdown."""
