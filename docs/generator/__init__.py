"""Makes the reference pages from the code: `make reference`. A test keeps them current."""
