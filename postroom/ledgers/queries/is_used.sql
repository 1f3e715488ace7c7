-- Whether anything was ever published here, as far as is kept
select exists (select from postroom.message)
