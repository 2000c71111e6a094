"""How the sample is rendered: posed bodies, their flesh and clothes, rooms, cameras. `utils.sample_data` writes it."""
