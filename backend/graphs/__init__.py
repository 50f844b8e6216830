"""From a contract to what runs: the prompt it compiles to and the graph it is executed as."""
