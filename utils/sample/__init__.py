"""How the sample is rendered: posed bodies, their flesh and clothes, rooms, cameras. `sample_data` writes it."""
