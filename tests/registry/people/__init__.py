"""An application whose users have a primary key that is no number."""
