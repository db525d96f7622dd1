create schema archive;
create table archive.spots (like public.spots);
create view public.last_day as select * from spots where heard_at > now() - interval '1 day';
