"""Renders the sample data: posed bodies, flesh and clothes, rooms, cameras. `sample_data` writes the files."""
