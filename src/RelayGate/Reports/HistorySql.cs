namespace RelayGate.Reports;

/// <summary>The statements of <see cref="HistoryReader"/>. Each is a look-up by the key of its table or index.</summary>
internal static class HistorySql
{
    /// <summary>Read by <see cref="HistorySum.AddObject"/>; <c>over</c> comes last.</summary>
    public const string ObjectColumns = "class, messages, recipients, refused, exempt, held, bounced, over";

    /// <summary>One object in one hour: hour, level, name.</summary>
    public const string Object = $"select {ObjectColumns} from usage_hour where hour = ?1 and level = ?2 and name = ?3";

    /// <summary>Objects of a level in one hour by name: hour, at most, level, from behind, up to.</summary>
    public const string Objects =
        $"select name, {ObjectColumns} from usage_hour where hour = ?1 and level = ?3 and name > ?4 and name <= ?5 order by name, class limit ?2";

    /// <summary>As <see cref="Objects"/>, of those with a limit that refused or held: by an index that has no others.</summary>
    public const string ObjectsOver =
        $"select name, {ObjectColumns} from usage_hour indexed by usage_hour_over where hour = ?1 and level = ?3 and name > ?4 and name <= ?5 and over > 0 order by name, class limit ?2";

    /// <summary>Addresses in one hour: hour, at most, subscription, from behind, up to.</summary>
    public const string Addresses =
        "select address, messages, recipients, refused from address_hour where hour = ?1 and subscription = ?3 and address > ?4 and address <= ?5 order by address limit ?2";

    /// <summary>Scripts in one hour: hour, at most, from behind a uid and script, up to a uid and script, subscription or "".</summary>
    public const string Scripts = """
        select uid, script, messages, recipients, refused from script_hour
        where hour = ?1 and (uid, script) > (?3, ?4) and (uid, script) <= (?5, ?6) and (?7 = '' or subscription = ?7) order by uid, script limit ?2
        """;

    public const string Oldest = "select min(hour) from usage_hour";

    /// <summary>Objects with a limit that has been exceeded and has not recovered: exceeded.</summary>
    public const string OverNow = "select count(*) from (select distinct level, name from limit_alarm where state = ?1)";

    /// <summary>Names of objects by what is above them: above, from behind, at most.</summary>
    public const string DomainsOfSubscription = "select name from domain where subscription = ?1 and name > ?2 order by name limit ?3";
    public const string MailboxesOfDomain = "select address from mailbox where domain = ?1 and address > ?2 order by address limit ?3";

    /// <summary>Whether an object belongs to a plan: name, plan.</summary>
    public const string SubscriptionOfPlan = "select 1 from subscription where name = ?1 and plan = ?2";
    public const string DomainOfPlan = "select 1 from domain d join subscription s on s.name = d.subscription where d.name = ?1 and s.plan = ?2";

    public const string MailboxOfPlan = """
        select 1 from mailbox m join domain d on d.name = m.domain join subscription s on s.name = d.subscription where m.address = ?1 and s.plan = ?2
        """;
}
