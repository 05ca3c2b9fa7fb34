"""The middleware, its cookies and flashes, as a visitor meets them."""
