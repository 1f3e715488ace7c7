-- How much is missing, and of how much of that the payload is gone. Goes on from recovery_missing.
select count(*) filter (where not emptied) as missing, count(*) filter (where emptied) as emptied,
    (select count(*) from scanned) as scanned
from missing
