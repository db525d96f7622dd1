-- One semicolon in a string is no end; nor is one in a function.
create table spots (
    id bigint generated always as identity primary key,
    heard_at timestamptz not null default now(),
    frequency_khz numeric(9, 1) not null,
    note text not null default 'a; b'
);
create function newest() returns timestamptz language sql stable begin atomic select max(heard_at) from spots; end;
insert into spots (frequency_khz) values (14074.0);
