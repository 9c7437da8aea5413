"""Result objects in files and database rows."""
