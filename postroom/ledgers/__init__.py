"""Several ledgers, one in each database of an application: whose tenant is where, and how one moves."""
