"""What a dataset takes and what that costs: bytes by kind and place, prices, invoices."""
