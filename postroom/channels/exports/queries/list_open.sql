-- What is in the open files of some folders, but those whose time is over. $1 folders
select folder, records, payload_bytes
from postroom.export_file
where folder = any ($1::text[]) and closes_at > now()
