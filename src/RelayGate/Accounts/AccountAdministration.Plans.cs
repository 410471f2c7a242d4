using RelayGate.Core.Policy;
using RelayGate.Storage;

namespace RelayGate.Accounts;

public sealed partial class AccountAdministration
{
    public Task<AdminResult<PlanView>> AddPlanAsync(string name, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        AccountNames.Name(name, "plan");
        if (AccountSql.Plan(write.Db, name) is not null)
            throw AdminException.Conflict($"There is a plan '{name}' already; see: relaygate plan show {name}");
        write.Db.Execute("insert into plan (name) values ($1)", name);
        write.Touch(new AccountKey(Level.Plan, name));
        var view = new PlanView(name, false);
        write.Audit("add", $"plan {name}", null, "", AuditText.Of(view));
        return view;
    }, by, cancellationToken);

    public Task<AdminResult<PlanView>> ShowPlanAsync(string name, CancellationToken cancellationToken) =>
        ReadAsync(db => View(new AccountWrite(db).Plan(name)), cancellationToken);

    /// <param name="after">Null: from the first.</param>
    public Task<AdminResult<Page<PlanView>>> ListPlansAsync(string? after, int count, CancellationToken cancellationToken) => ListAsync(
        count,
        (db, rows) => db.All("select name, suspended from plan where name > $1 order by name limit $2", static row => View(AccountSql.ReadPlan(row)), after ?? "", rows),
        static plan => plan.Name,
        cancellationToken);

    public Task<AdminResult<PlanView>> RemovePlanAsync(string name, CancellationToken cancellationToken, string by = AuditRows.Gateway) => WriteAsync(write =>
    {
        PlanRecord plan = write.Plan(name);
        if (write.Db.First("select name from subscription where plan = $1 limit 1", static row => row.GetString(0), name) is { } subscription)
            throw AdminException.InUse($"Plan {name} is in use by subscription {subscription}; give that another plan first: relaygate subscription set {subscription} --plan NAME");
        var key = new AccountKey(Level.Plan, name);
        write.RemoveRules(key, null);
        write.Db.Execute("delete from plan where name = $1", name);
        write.Touch(key);
        write.Audit("remove", key.ToString(), null, AuditText.Of(View(plan)), "");
        return View(plan);
    }, by, cancellationToken);

    private static PlanView View(PlanRecord plan) => new(plan.Name, plan.IsSuspended);
}
