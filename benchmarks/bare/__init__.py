"""The bare clients, a module each: what no engine on that client can beat without another client."""
