"""One shard: its layout, how it is written in memory, and how it is read without trusting it."""
