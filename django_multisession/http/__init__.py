"""The request's way: what a response stores, which cookies it sets, what it says of an outage."""
