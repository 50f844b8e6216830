"""The tools that a contract grants: those that come along, and those of MCP servers."""
