"""What people look at, made of rows: groups, tables, and how they are written."""
