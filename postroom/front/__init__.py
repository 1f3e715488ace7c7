"""One HTTP process for several ledgers: each has its application, and a request goes to one of them."""
