"""Training an adapter from one's own translations: recipe, rows, loop, gate. Imported by ``batchtrans train`` alone."""
