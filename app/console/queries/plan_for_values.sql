-- Until the transaction ends, plan each statement for its very values: one that may filter by anything would
-- else get one plan for all, and that walks over every row.
set local plan_cache_mode = force_custom_plan
