namespace RelayGate.Queue;

/// <summary>The tables of scripts.</summary>
internal static class ScriptSchema
{
    public const string Ddl = """
        -- What local scripts and programs sent, by hour. Claimed: messages whose script is the client's word alone. Path: what was claimed last.
        -- Weak: nothing was taken, or the client's word is all there is for the name; such names get a small part of those of a uid and hour.
        create table script_hour (
          hour integer not null,
          uid integer not null,
          script text not null,
          subscription text not null,
          messages integer not null,
          recipients integer not null,
          refused integer not null,
          held integer not null,
          claimed integer not null,
          path text,
          first_at integer not null,
          last_at integer not null,
          weak integer not null,
          primary key (hour, uid, script, subscription)
        ) without rowid;

        -- Scripts whose mail is held; * is all mail of the uid.
        create table script_block (
          uid integer not null,
          script text not null,
          at integer not null,
          whom text not null,
          primary key (uid, script)
        ) without rowid;

        """;
}
