"""What stands behind `UnifiedMemoryManager`: keeping memories, indexing them, and finding the right few again."""
