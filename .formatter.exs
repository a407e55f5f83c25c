[
  locals_without_parens: [defcommand: 2, defcommand: 3],
  inputs: ["{mix,.formatter}.exs", "{bench,config,lib,test}/**/*.{ex,exs}"]
]
