"""The web service of the shop: products, orders, login; reaches everything else through the proxy."""
