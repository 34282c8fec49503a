"""What people see: texts, counts, plans and tables, as wide as their terminal."""
