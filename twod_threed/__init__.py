"""2D to 3D pose: the 3D pose baseline (Martinez, Hossain, Romero, Little, ICCV 2017) and the measures of 3D pose."""
