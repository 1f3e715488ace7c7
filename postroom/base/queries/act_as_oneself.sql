-- Until the end of the transaction: as who signed in.
select set_config('role', 'none', true)
