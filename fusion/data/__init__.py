"""From sources to batches: order, decoding, collation, loading."""
