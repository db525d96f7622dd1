"""A page that says how the site fares, and still does when its database does not."""
