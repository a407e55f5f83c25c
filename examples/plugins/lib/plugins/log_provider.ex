defmodule Plugins.LogProvider do
  @moduledoc "Answers the interface `log` of the plugins: each line goes to the log of the plugin that wrote it."
  use Exosuit.Provider, wit: "wit", interface: "shop:plugins/log"

  @impl Plugins.LogProvider.Behaviour
  def write(level, text, context), do: Plugins.Log.write(context.link.actor, {level, text})
end
