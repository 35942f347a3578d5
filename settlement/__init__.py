"""What it was worth: the bill of measured flows under the tariff, line by line, and its carbon."""
