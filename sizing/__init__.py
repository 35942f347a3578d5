"""How much to build: the year model, candidates judged by replay, cash flow, recommendation."""
