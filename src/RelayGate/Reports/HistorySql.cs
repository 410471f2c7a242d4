namespace RelayGate.Reports;

/// <summary>The statements of <see cref="HistoryReader"/>. Each is a look-up by the key of its table or index.</summary>
internal static class HistorySql
{
    /// <summary>Read by <see cref="HistorySum.AddObject"/>; <c>over</c> comes last.</summary>
    public const string ObjectColumns = "class, messages, recipients, refused, exempt, held, bounced, over";

    /// <summary>One object in one hour: hour, level, name.</summary>
    public const string Object = $"select {ObjectColumns} from usage_hour where hour = ?1 and level = ?2 and name = ?3";

    /// <summary>Objects of a level in one hour by name: hour, level, from behind, up to, at most. A blob comes behind every text.</summary>
    public const string Objects =
        $"select name, {ObjectColumns} from usage_hour where hour = ?1 and level = ?2 and name > ?3 and name <= ?4 order by name, class limit ?5";

    /// <summary>As <see cref="Objects"/>, those with a limit that refused or held.</summary>
    public const string ObjectsOver =
        $"select name, {ObjectColumns} from usage_hour where hour = ?1 and level = ?2 and name > ?3 and name <= ?4 and over > 0 order by name limit ?5";

    /// <summary>Addresses in one hour: hour, subscription, from behind, up to, at most.</summary>
    public const string Addresses =
        "select address, messages, recipients, refused from address_hour where hour = ?1 and subscription = ?2 and address > ?3 and address <= ?4 order by address limit ?5";

    public const string Oldest = "select min(hour) from usage_hour";

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
