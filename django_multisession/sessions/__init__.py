"""Django's side: SessionBase semantics, written once over a store or the cookie."""
