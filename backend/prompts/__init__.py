"""Text: the templates of prompts. At run time the mirrored contracts are written beside them."""
