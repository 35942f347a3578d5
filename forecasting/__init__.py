"""What will happen: recorded series in, quantiles out, each forecast stored with its issue time."""
