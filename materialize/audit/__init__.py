"""What can be asked of a dataset that stands: is it whole, mend it, explain it, prove it."""
