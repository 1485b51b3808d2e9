"""The chains as shipped."""
